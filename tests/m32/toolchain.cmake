# SPDX-License-Identifier: MIT
# 32-bit x86 programs, with the libraries that sysroot put into SHARQ_SYSROOT.
set(CMAKE_C_FLAGS_INIT -m32)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SHARQ_SYSROOT)
set(lib ${SHARQ_SYSROOT}/usr/lib/i386-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${SHARQ_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${lib}/pkgconfig:${SHARQ_SYSROOT}/usr/share/pkgconfig)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-L${lib} -Wl,-rpath-link,${lib}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-L${lib}")
