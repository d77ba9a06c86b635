"""Migrations of the store, run by `penstock.base.store.migrate`."""
