"""Workers from the outside: what they are asked, how they are started and followed, and what killed them."""
