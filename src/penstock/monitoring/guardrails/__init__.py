"""Guardrails: one file a kind of limit, each a pure function of windows; `judging` asks them all."""
