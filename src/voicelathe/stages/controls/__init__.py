"""Does a candidate still follow controls? Lines are spoken under opposite ones, and compared by what can be measured."""
