//! Which properties refer to other nodes, and how: the phandle alone, or with arguments that the other node counts.
//!
//! The names are those of the Devicetree Specification and of the common bindings in the Linux kernel's
//! Documentation/devicetree/bindings. A reference in a property that is not listed here looks like a number.

/// How many arguments follow each phandle of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// None, ever.
    None,
    /// As many as the other node says in this property, or the default.
    Counted(&'static str, u32),
}

/// How a property refers to other nodes, if it does.
#[must_use]
pub fn arguments(property: &str) -> Option<Arguments> {
    let counted = |by| Some(Arguments::Counted(by, 0));
    match property {
        "clocks" | "assigned-clocks" | "assigned-clock-parents" => counted("#clock-cells"),
        "resets" => counted("#reset-cells"),
        "power-domains" => counted("#power-domain-cells"),
        "dmas" => counted("#dma-cells"),
        "phys" => counted("#phy-cells"),
        "mboxes" => counted("#mbox-cells"),
        "pwms" => counted("#pwm-cells"),
        "io-channels" => counted("#io-channel-cells"),
        "interconnects" => counted("#interconnect-cells"),
        "thermal-sensors" => counted("#thermal-sensor-cells"),
        "sound-dai" => counted("#sound-dai-cells"),
        "hwlocks" => counted("#hwlock-cells"),
        "mux-controls" => counted("#mux-control-cells"),
        "nvmem-cells" => counted("#nvmem-cell-cells"),
        "gpio-ranges" => Some(Arguments::Counted("#gpio-range-cells", 3)),
        "memory-region"
        | "phy-handle"
        | "phy"
        | "operating-points-v2"
        | "backlight"
        | "leds"
        | "firmware"
        | "raspberrypi,firmware"
        | "ddc"
        | "ddc-i2c-bus"
        | "mmc-pwrseq" => Some(Arguments::None),
        _ if property.ends_with("nr-gpios") => None,
        _ if matches!(property, "gpios" | "gpio")
            || property.ends_with("-gpios")
            || property.ends_with("-gpio") =>
        {
            counted("#gpio-cells")
        }
        _ if property.ends_with("-supply") => Some(Arguments::None),
        _ => {
            let state = property.strip_prefix("pinctrl-")?;
            state.bytes().all(|byte| byte.is_ascii_digit()).then_some(Arguments::None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_who_counts_their_arguments() {
        // "PROPERTY: #COUNT-cells" of the bindings (Documentation/devicetree/bindings/SUBSYSTEM of Linux, and dt-schema).
        for (property, count) in [
            ("clocks", "#clock-cells"),
            ("resets", "#reset-cells"),
            ("power-domains", "#power-domain-cells"),
            ("dmas", "#dma-cells"),
            ("phys", "#phy-cells"),
            ("mboxes", "#mbox-cells"),
            ("pwms", "#pwm-cells"),
            ("io-channels", "#io-channel-cells"),
            ("interconnects", "#interconnect-cells"),
            ("thermal-sensors", "#thermal-sensor-cells"),
            ("sound-dai", "#sound-dai-cells"),
            ("hwlocks", "#hwlock-cells"),
            ("mux-controls", "#mux-control-cells"),
            ("nvmem-cells", "#nvmem-cell-cells"),
            ("cs-gpios", "#gpio-cells"),
            ("reset-gpio", "#gpio-cells"),
            ("gpios", "#gpio-cells"),
        ] {
            assert_eq!(arguments(property), Some(Arguments::Counted(count, 0)), "{property}");
        }
        // A range of pins: pin here, pin there, how many, unless the controller says otherwise.
        assert_eq!(arguments("gpio-ranges"), Some(Arguments::Counted("#gpio-range-cells", 3)));
    }

    #[test]
    fn others_are_phandles_or_no_references() {
        for property in ["memory-region", "phy-handle", "vmmc-supply", "pinctrl-0", "pinctrl-12"] {
            assert_eq!(arguments(property), Some(Arguments::None), "{property}");
        }
        for property in ["reg", "nr-gpios", "snps,nr-gpios", "pinctrl-names", "supply", "clock-names"] {
            assert_eq!(arguments(property), None, "{property}");
        }
    }
}
