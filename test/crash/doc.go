// Package crash kills a server in the middle of its work and looks at what is
// left: everything that was acknowledged, and nothing by halves. It also starts
// a second server on the data of a running one, which must be refused.
//
// SIGKILL ends the process and leaves the kernel's page cache, so that a write
// without an fsync would pass here. This is no test of a power cut.
package crash
