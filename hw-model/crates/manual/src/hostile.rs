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
    page.section("Faults");
    let help = Spec::help();
    page.literal(&help.lines().map(str::to_owned).collect::<Vec<_>>());
    page.finish()
}
