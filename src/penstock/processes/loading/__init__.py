"""How a serve process comes to serve a revision: who is asked before, when it is tried again, and in what order."""
