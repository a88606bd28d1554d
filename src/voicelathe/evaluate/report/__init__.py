"""How a decision is shown: the page, its charts and its words."""
