"""State, its encodings and its transition. SPEC.md beside this file is the law that the code follows."""
