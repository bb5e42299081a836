// Package faults does to a really started server what disks and operators do:
// damaged and missing files, a full disk, wrong owners, another node's data. A
// server that cannot go on says which file, where, and what to do; none serves
// wrong data, and with the fault undone everything acknowledged is there.
//
// Faults of the log that can be told in one process are in storage/raft, by
// every byte; kills and a second server on the same directory in test/crash.
//
// The full disk is a real one, a small tmpfs. Who may not mount runs it in a
// user namespace.
package faults
