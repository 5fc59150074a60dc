//! Started by UEFI firmware: finds the device tree and the bundle, ends the firmware's services, and begins again as from
//! any other boot loader (boot.S). Of the firmware nothing is used afterwards but PSCI, which is not its own.
//!
//! This runs where the firmware put the image, not where the image is linked: nothing here may follow an address that is
//! stored in the image (vtables, tables of strings, formatting), and so nothing may allocate, log or panic.

use core::convert::Infallible;
use core::ffi::c_void;
use core::ptr::{null_mut, with_exposed_provenance};

use aarch64_cpu::registers::CurrentEL;
use r_efi::base::{Boolean, Guid, Handle, Status};
use r_efi::protocols::{device_path, file, load_file2, loaded_image, simple_file_system};
use r_efi::system::{ALLOCATE_ANY_PAGES, BootServices, DTB_TABLE_GUID, LOADER_DATA, SystemTable};
use tock_registers::interfaces::Readable;

const PAGE: usize = 0x1000;
/// Bytes for the firmware's memory map, which is only asked for because it has to be.
const MAP: usize = 16 * PAGE;
/// UTF-16 units of a path.
const PATH: usize = 256;
/// What the command line may say: `initrd=\path\of\the\bundle`.
const OPTION: &[u8] = b"initrd=";
/// The bundle's path where nothing names it.
const DEFAULT: &[u8] = b"\\bundle.cpio";

/// Where loaders offer the initial RAM disk: LoadFile2 on this device path (UEFI 10.3) of one vendor's medium, with
/// Linux's LINUX_EFI_INITRD_MEDIA_GUID 5568e427-68fc-4f3d-ac74-ca555231cc68.
#[rustfmt::skip]
const INITRD: [u8; 24] = [
    device_path::TYPE_MEDIA, device_path::Media::SUBTYPE_VENDOR, 20, 0,
    0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f, 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68,
    device_path::TYPE_END, device_path::End::SUBTYPE_ENTIRE, 4, 0,
];

unsafe extern "C" {
    /// Turns the firmware's translation off and begins (boot.S).
    fn efi_leave(tree: u64, bundle: u64, bundle_end: u64) -> !;
}

struct Firmware<'a> {
    image: Handle,
    system: &'a SystemTable,
    boot: &'a BootServices,
}

type Refusal = &'static str;
/// First byte and end.
type Place = (usize, usize);

/// The entry that the PE header names. Returns to the firmware if Partita cannot start.
#[unsafe(no_mangle)]
extern "efiapi" fn efi_main(image: Handle, system: *const SystemTable) -> Status {
    // SAFETY: the firmware passes its system table, which is whole until its boot services end (UEFI 4.1).
    let firmware = unsafe { Firmware { image, system: &*system, boot: &*(*system).boot_services } };
    let Err(why) = firmware.start();
    firmware.say("partita: error: ");
    firmware.say(why);
    firmware.say("\r\n");
    Status::UNSUPPORTED
}

impl Firmware<'_> {
    fn start(&self) -> Result<Infallible, Refusal> {
        if CurrentEL.read(CurrentEL::EL) != 2 {
            return Err(
                "entered at EL1, but a hypervisor runs at EL2; let the firmware enter at EL2 (QEMU: -M \
                        virt,virtualization=on)",
            );
        }
        let tree = self.tree().ok_or(
            "the firmware gives no device tree, and Partita does not read ACPI tables; set the firmware to give a \
             device tree (QEMU: -M virt,acpi=off)",
        )?;
        let (bundle, end) = match self.offered()? {
            Some(place) => place,
            None => match self.file()? {
                Some(place) => place,
                // A loader may have said it in the tree, as it would to Linux.
                None if says_initrd(tree) => (0, 0),
                None => {
                    return Err("no bundle: the loader offers no initial RAM disk, the command line has no \
                                initrd=\\path, and \\bundle.cpio is not on this volume");
                }
            },
        };
        // The first line of what follows begins on a line of its own.
        self.say("\r\n");
        self.end_services()?;
        // SAFETY: the image is whole, tree and bundle are in memory that nobody else uses now.
        unsafe { efi_leave(tree.addr() as u64, bundle as u64, end as u64) }
    }

    /// The firmware's flattened tree (UEFI 4.6: EFI_DTB_TABLE_GUID).
    fn tree(&self) -> Option<*const u8> {
        let mut entry = self.system.configuration_table.cast_const();
        for _ in 0..self.system.number_of_table_entries {
            // SAFETY: the table has that many entries.
            let this = unsafe { &*entry };
            if this.vendor_guid == DTB_TABLE_GUID && !this.vendor_table.is_null() {
                return Some(this.vendor_table.cast::<u8>().cast_const());
            }
            entry = entry.wrapping_add(1);
        }
        None
    }

    /// The initial RAM disk that the loader offers (QEMU's -initrd, GRUB, systemd-boot, the UEFI Shell's `initrd`).
    fn offered(&self) -> Result<Option<Place>, Refusal> {
        let mut path = INITRD;
        let mut rest = path.as_mut_ptr().cast::<device_path::Protocol>();
        let (mut guid, mut handle) = (load_file2::PROTOCOL_GUID, null_mut());
        if (self.boot.locate_device_path)(&raw mut guid, &raw mut rest, &raw mut handle).is_error() {
            return Ok(None);
        }
        let Some(loader) = self.protocol::<load_file2::Protocol>(handle, load_file2::PROTOCOL_GUID) else {
            return Ok(None);
        };
        let (this, mut size) = (core::ptr::from_ref(loader).cast_mut(), 0);
        // Asked without a buffer it tells the size (UEFI 13.2).
        let status = (loader.load_file)(this, rest, Boolean::FALSE, &raw mut size, null_mut());
        if status != Status::BUFFER_TOO_SMALL || size == 0 {
            return Ok(None);
        }
        let start = self.pages(size)?;
        if (loader.load_file)(this, rest, Boolean::FALSE, &raw mut size, start).is_error() {
            return Err("the initial RAM disk cannot be read");
        }
        Ok(Some((start.addr(), start.addr() + size)))
    }

    /// The bundle as a file of the volume that the image came from.
    fn file(&self) -> Result<Option<Place>, Refusal> {
        let own = self.protocol::<loaded_image::Protocol>(self.image, loaded_image::PROTOCOL_GUID);
        let Some(own) = own else { return Ok(None) };
        let mut path = [0_u16; PATH];
        let named = named(own, &mut path)?;
        let volume = self.protocol(own.device_handle, simple_file_system::PROTOCOL_GUID);
        let Some(volume): Option<&simple_file_system::Protocol> = volume else { return Ok(None) };
        let (mut root, mut opened) = (null_mut(), null_mut());
        let this = core::ptr::from_ref(volume).cast_mut();
        if (volume.open_volume)(this, &raw mut root).is_error() {
            return Err("the volume that the hypervisor came from cannot be read");
        }
        // SAFETY: the firmware opened it.
        let open = unsafe { (*root).open };
        if open(root, &raw mut opened, path.as_mut_ptr(), file::MODE_READ, 0).is_error() {
            let missing = "the file that initrd= names is not on the volume that the hypervisor came from";
            return if named { Err(missing) } else { Ok(None) };
        }
        self.read(opened).map(Some)
    }

    fn read(&self, opened: *mut file::Protocol) -> Result<Place, Refusal> {
        const WHY: Refusal = "the bundle cannot be read";
        // SAFETY: the firmware opened it.
        let protocol = unsafe { &*opened };
        let mut size = 0;
        // The position of all ones is the end of the file (UEFI 13.5).
        if (protocol.set_position)(opened, u64::MAX).is_error()
            || (protocol.get_position)(opened, &raw mut size).is_error()
            || (protocol.set_position)(opened, 0).is_error()
        {
            return Err(WHY);
        }
        let start = self.pages(size as usize)?;
        let mut got = size as usize;
        if (protocol.read)(opened, &raw mut got, start).is_error() || got as u64 != size {
            return Err(WHY);
        }
        Ok((start.addr(), start.addr() + got))
    }

    /// Memory that stays ours.
    fn pages(&self, size: usize) -> Result<*mut c_void, Refusal> {
        let mut at = 0;
        let pages = size.div_ceil(PAGE);
        if (self.boot.allocate_pages)(ALLOCATE_ANY_PAGES, LOADER_DATA, pages, &raw mut at).is_error() {
            return Err("the firmware has no memory for the bundle");
        }
        Ok(with_exposed_provenance::<c_void>(at as usize).cast_mut())
    }

    fn protocol<T>(&self, handle: Handle, mut guid: Guid) -> Option<&T> {
        let mut found = null_mut();
        let status = (self.boot.handle_protocol)(handle, &raw mut guid, &raw mut found);
        // SAFETY: the firmware's answer is that protocol's interface, which stays while the boot services do.
        (!status.is_error() && !found.is_null()).then(|| unsafe { &*found.cast() })
    }

    /// Ends the boot services: the firmware's timer and devices are still, its memory is ours.
    fn end_services(&self) -> Result<(), Refusal> {
        let map = self.pages(MAP)?;
        // The map may change under the first call, which then has to be repeated (UEFI 7.4).
        for _ in 0..4 {
            let (mut size, mut key, mut entry, mut version) = (MAP, 0, 0, 0);
            let arguments = (&raw mut size, &raw mut key, &raw mut entry, &raw mut version);
            let (size, key_at, entry, version) = arguments;
            if (self.boot.get_memory_map)(size, map.cast(), key_at, entry, version).is_error() {
                break;
            }
            if !(self.boot.exit_boot_services)(self.image, key).is_error() {
                return Ok(());
            }
        }
        Err("the firmware does not end its boot services")
    }

    fn say(&self, text: &str) {
        let console = self.system.con_out;
        for byte in text.bytes() {
            let mut unit = [u16::from(byte), 0];
            // SAFETY: a console that is there is whole while the boot services are.
            if let Some(out) = unsafe { console.as_ref() } {
                (out.output_string)(console, unit.as_mut_ptr());
            }
        }
    }
}

/// Writes the bundle's path; true where the command line names it.
fn named(own: &loaded_image::Protocol, path: &mut [u16; PATH]) -> Result<bool, Refusal> {
    let pointer: *const u16 = own.load_options.cast();
    let options: &[u16] = if pointer.is_null() || !pointer.is_aligned() {
        &[]
    } else {
        // SAFETY: the firmware says where the options are and how long; they are UTF-16 where a person typed them.
        unsafe { core::slice::from_raw_parts(pointer, own.load_options_size as usize / 2) }
    };
    let begins = |words: &&[u16]| {
        words.len() >= OPTION.len() && words.iter().zip(OPTION).all(|(unit, byte)| *unit == u16::from(*byte))
    };
    let mut words = options.split(|unit| matches!(*unit, 0 | 0x20));
    let named = words.find(begins).and_then(|word| word.get(OPTION.len()..));
    // The last unit stays 0.
    let room = path.len() - 1;
    let mut slots = path.iter_mut().take(room);
    match named {
        Some(name) if name.len() > room => return Err("the path after initrd= is too long"),
        Some(name) => {
            for (slot, unit) in slots.zip(name) {
                *slot = if *unit == u16::from(b'/') { u16::from(b'\\') } else { *unit };
            }
        }
        None => slots.by_ref().zip(DEFAULT).for_each(|(slot, byte)| *slot = u16::from(*byte)),
    }
    Ok(named.is_some())
}

/// Whether /chosen may say where the initial RAM disk is: the tree has that property's name.
fn says_initrd(tree: *const u8) -> bool {
    const NAME: &[u8] = b"linux,initrd-start\0";
    // SAFETY: the firmware's tree; its second word is its size (Devicetree Specification, 5.2).
    let blob = unsafe {
        let size = u32::from_be(tree.add(4).cast::<u32>().read_unaligned()) as usize;
        core::slice::from_raw_parts(tree, size.min(partita_model::dt::MAX_TREE))
    };
    blob.windows(NAME.len()).any(|window| window == NAME)
}
