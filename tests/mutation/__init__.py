"""The mutation harness: random projects and edits; is what changed left out, or reused?"""
