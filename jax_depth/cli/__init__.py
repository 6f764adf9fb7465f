"""The command line: one file per subcommand, each a thin call into the library.

A subcommand is a module with `add_arguments(parser)`, which must not import jax, and
`run(args) -> int`, which returns the exit code: 0 all done, 1 some inputs failed,
2 wrong usage (raise `UsageError`). It gets its line in `main.COMMANDS`.
"""
