# SPDX-License-Identifier: GPL-2.0
"""Figures as text: a table for the terminal, and one for other programs."""

import csv

from host.bench.figures import Figures

# Heading, width, and how a figure is written; None is written as "-".
_COLUMNS = (
    ("per packet", 10, "per_packet", "{:.0f}"),
    ("k per MiB", 9, "k_per_mib", "{:.0f}"),
    ("spread", 6, "spread", "{:.1%}"),
    ("seg/skb", 7, "segments_per_skb", "{:.1f}"),
    ("irqs", 6, "interrupts", "{:.1f}"),
    ("polls", 6, "polls", "{:.1f}"),
    ("regs", 6, "registers", "{:.1f}"),
)


def _losses(figures):
    return " ".join(f"{name}:{count}" for name, count in figures.losses.items())


def heading(dut):
    """Return the first line of a NIC's table."""
    return " ".join([f"{dut:<16}", *(f"{title:>{width}}" for title, width, _, _ in _COLUMNS),
                     "lost"])


def row(figures):
    """Return the line of a workload."""
    cells = []
    for _, width, name, form in _COLUMNS:
        value = getattr(figures, name)
        cells.append(f"{'-' if value is None else form.format(value):>{width}}")
    return " ".join([f"{figures.workload.name:<16}", *cells, _losses(figures) or "-"])


def write_csv(out, found):
    """Write {NIC: [Figures]} for other programs: a row for a NIC and a workload."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("nic", "workload", "unit", *Figures.COLUMNS))
    for dut, of_dut in found.items():
        for figures in of_dut:
            cells = (getattr(figures, name) for name in Figures.COLUMNS[:-1])
            table.writerow((dut, figures.workload.name, figures.workload.unit,
                            *("" if cell is None else f"{cell:.4g}" for cell in cells),
                            _losses(figures)))
