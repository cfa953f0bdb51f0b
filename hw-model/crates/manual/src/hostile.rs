// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Page of the model's hostile mode.

use crate::rst::Rst;
use reflow_device::chaos::Spec;

/// The page.
pub(crate) fn page() -> String {
    let mut page = Rst::page("Hostile mode", "chaos.rs of the device");
    page.paragraph(&[
        "The model can break its promises on purpose, so that a driver can be tested against a \
         device that lies, stops or disappears. ``reflow-hw serve --chaos SPEC`` starts it so; \
         ``scripts/vm``, ``scripts/shell`` and ``scripts/demo`` have the same option. Faults are \
         drawn from dice that start with ``--seed``: the same seed, spec and events bring the same \
         faults.",
    ]);
    page.paragraph(&[
        "Faults come and go while the model runs, too: ``reflow-hw serve --control PATH`` takes \
         commands at a Unix socket, one a line, and answers each with ``ok`` or ``error: WHY``.",
    ]);
    page.literal(&[
        "chaos SPEC   replace the faults; dice, counts and the packets of after= start anew".into(),
        "chaos off    end all faults at once".into(),
        "link down    plug the wire out".into(),
        "link up      plug it in again".into(),
    ]);
    page.paragraph(&[
        "When faults end, the device goes on from what its registers hold; one that was \
         ``removed`` is back as after a power cycle, with the registers and the configuration \
         space of a reset. ``reflow-hw serve --status PATH`` tells the faults as ``chaos_spec``, \
         and under ``chaos`` how often each could have struck, struck, and what it spoiled.",
    ]);
    page.section("Faults");
    let help = Spec::help();
    page.literal(&help.lines().map(str::to_owned).collect::<Vec<_>>());
    page.finish()
}
