"""Pages of runs: tables of many, one run with what it logged, several compared."""
