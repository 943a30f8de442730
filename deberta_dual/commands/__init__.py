"""The subcommands of `deberta`: what each reads from the command line, and prints."""
