"""Every row is judged by the rules, and what is dropped goes to the quarantine with its reasons."""
