"""The use cases: pull, fetch, plan, dispatch, import, explain."""
