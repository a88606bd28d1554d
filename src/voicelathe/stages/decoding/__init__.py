"""With which decoding settings does a voice speak best, and with which as well for less?"""
