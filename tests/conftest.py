"""What all tests share."""

from hypothesis import settings

# How long an example may take says more about the machine than about the code.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")
