"""``trainer report``: a run as one page with plots and samples."""

from trainer.report.page import write_report

__all__ = ["write_report"]
