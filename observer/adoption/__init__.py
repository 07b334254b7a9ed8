"""Runs that Sacred recorded, brought into our layout: from its databases, folders and pickles; `cloister adopt`."""
