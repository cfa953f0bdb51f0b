# SPDX-License-Identifier: GPL-2.0
"""The cases, one file a subject.

Each file here is found by itself: a new one needs no entry anywhere. A file may set
flags for all of its cases, which guest.harness.FLAGS lists.
"""
