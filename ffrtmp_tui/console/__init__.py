"""The full-screen console: a pure model, pure screens, tables of keys and colours, and a thin shell in urwid."""
