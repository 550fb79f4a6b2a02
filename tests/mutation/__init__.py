"""The mutation harness: random projects and edits; does ``--affected`` leave out a test that changed?"""
