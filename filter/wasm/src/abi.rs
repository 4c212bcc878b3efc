//! The one host call that the SDK makes dear: it turns a header map into owned strings, two allocations a header, and a request is
//! routed by a handful of lookups. Here the map stays as the host wrote it. The only unsafe code of the project.

#![allow(unsafe_code, reason = "a host call is a foreign function")]

use std::ptr;

use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// `proxy_get_header_map_pairs` (Proxy-Wasm ABI specification 0.2.1): 0 where the map was handed over.
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// A header map in the ABI's serialised form; the status where the host refuses.
pub(crate) fn header_map(map: MapType) -> Result<Vec<u8>, u32> {
    let (mut data, mut size) = (ptr::null_mut(), 0_usize);
    // SAFETY: both pointers are to locals that outlive the call; the host writes an address and a length there, or nothing.
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    if status != 0 {
        return Err(status);
    }
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got this memory from the module's own `proxy_on_memory_allocate`, which makes a boxed slice of exactly `size`
    // bytes with the global allocator and gives it away; the host has filled it and keeps no reference.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}
