"""The session, without input, output or clock; the figures are those of ARCHITECTURE section 6."""
