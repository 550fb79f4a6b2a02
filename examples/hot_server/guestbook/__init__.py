"""The application that serve.py restarts: edit any file in here while it runs."""
