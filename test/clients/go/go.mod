module github.com/fastness-dev/fastness/test/clients/go

go 1.26.0

require github.com/hashicorp/vault/api v1.23.0
