"""The mutation harness: checks with random projects and edits that no affected test is left out or reused."""
