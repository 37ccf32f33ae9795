"""Pages for people: what the index holds, with the tools to check it, made on the server.

A page asks what the API's routes ask, by the same functions, and works without script. Nothing is loaded from
another host. ``pages`` makes a page of a template, ``queries`` holds the few questions that no route of the
API asks, ``views`` arranges answers, ``checks`` reads a replay's report; one file for each group of pages.
"""
