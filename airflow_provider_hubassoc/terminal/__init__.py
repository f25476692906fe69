"""Support of commands for the terminal: arguments, streams, files, progress and Ctrl-C."""

from airflow_provider_hubassoc.terminal.arguments import (
    DONE,
    ERROR,
    INTERRUPTED,
    PENDING,
    Parser,
    UsageError,
    path,
    seconds,
    text,
    whole_number,
)
from airflow_provider_hubassoc.terminal.files import check_target, is_replaceable, write_file
from airflow_provider_hubassoc.terminal.interruption import Interruption
from airflow_provider_hubassoc.terminal.progress_bar import progress
from airflow_provider_hubassoc.terminal.streams import (
    can_encode,
    document_stream,
    is_terminal,
    read_stdin,
    replace_unencodable,
    say,
    writing,
)

__all__ = [
    "DONE",
    "ERROR",
    "INTERRUPTED",
    "PENDING",
    "Interruption",
    "Parser",
    "UsageError",
    "can_encode",
    "check_target",
    "document_stream",
    "is_replaceable",
    "is_terminal",
    "path",
    "progress",
    "read_stdin",
    "replace_unencodable",
    "say",
    "seconds",
    "text",
    "whole_number",
    "write_file",
    "writing",
]
