"""The one exception that is shown to a person without a traceback."""


class UserError(Exception):
    """A mistake that the user can mend, told in one sentence: the key, the value, what would be right."""
