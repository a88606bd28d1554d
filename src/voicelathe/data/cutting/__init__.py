"""How does a long recording with a text become clips? Subtitles are read, words matched with what was heard, cuts made in pauses.

Nothing here decodes audio or loads a model: a worker listens (`worker.cut`), and this works on what it heard.
"""
