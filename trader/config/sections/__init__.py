"""The sections of the config, one file for each part of it.

Law: attributes are named as the YAML keys, units last; a field says its own unit and default in
its description, which `trader config schema` and docs/config.md print.
"""
