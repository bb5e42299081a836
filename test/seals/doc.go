// Package seals runs seals against the real thing where it can be had without an
// account: AWS KMS as moto speaks it (from PyPI), a PKCS#11 token of SoftHSM and
// a TPM of swtpm (both from Debian, see test/clients/debian.sh).
package seals
