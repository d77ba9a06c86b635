"""Commands of CI: `ci` and what its components run."""
