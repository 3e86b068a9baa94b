"""Other systems' files, words and commands, one folder each, on public entry points only.

Nothing below imports this room: the rooms below name its readers and verbs as text in their
registries, as they would find those of an installed package.
"""
