"""What can be said against a proposed clip, by code. A clip with any of them waits for a person; the others are accepted until somebody objects."""

FLAGS = {
    "text_differs": "Something else was heard than the text says.",
    "more_speech": "More is said in this clip than its text has.",
    "no_pause": "Cut inside running speech, because there was no pause within the limit.",
    "too_long": "Longer than the limit.",
    "two_at_once": "The subtitles give another text for the same time.",
}
