// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Page of the model's hostile mode.

use crate::rst::Rst;
use reflow_device::chaos::Spec;

/// The page.
pub(crate) fn page() -> String {
    let mut page = Rst::page("Hostile mode", "chaos.rs of the device");
    page.paragraph(&[
        "The model can inject faults, to test a driver against a device that reports wrong values, \
         stops or disappears: ``reflow-hw serve --chaos SPEC``. ``scripts/vm``, ``scripts/shell`` \
         and ``scripts/demo`` have the same option. Faults are drawn from random generators that \
         start with ``--seed``: the same seed, spec and events give the same faults.",
    ]);
    page.paragraph(&[
        "Faults can also be changed while the model runs: ``reflow-hw serve --control PATH`` reads \
         commands from a Unix socket, one per line, and answers each with ``ok`` or \
         ``error: WHY``.",
    ]);
    page.literal(&[
        "chaos SPEC   replace the faults; generators, counts and after= start again".into(),
        "chaos off    end all faults at once".into(),
        "link down    disconnect the wire".into(),
        "link up      connect it again".into(),
    ]);
    page.paragraph(&[
        "When faults end, the device continues with the values in its registers; one that was \
         ``removed`` returns as after a power cycle, with registers and configuration space in \
         their reset state. ``reflow-hw serve --status PATH`` shows the faults as ``chaos_spec``, \
         and under ``chaos`` for each how often it could have occurred, how often it did, and how \
         much it changed.",
    ]);
    page.section("Faults");
    let help = Spec::help();
    page.literal(&help.lines().map(str::to_owned).collect::<Vec<_>>());
    page.finish()
}
