"""The hub beside a Django project."""
