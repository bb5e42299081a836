package sys

import "golang.org/x/sys/unix"

// diskAt measures the file system at a path.
func diskAt(path string) (d hostDisk, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil || st.Bsize <= 0 {
		return d, false
	}
	size := uint64(st.Bsize)
	return hostDisk{Total: st.Blocks * size, Free: st.Bavail * size, Inodes: st.Files, InodesFree: st.Ffree}, true
}
