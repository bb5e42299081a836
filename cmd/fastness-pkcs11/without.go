//go:build !cgo

package main

import (
	"errors"

	"github.com/fastness-dev/fastness/storage/seal/pkcs11"
)

func openModule(pkcs11.Token) (module, error) {
	return nil, errors.New("this fastness-pkcs11 was built without cgo and cannot load a library: build it with CGO_ENABLED=1")
}
