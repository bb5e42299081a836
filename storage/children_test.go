package storage_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/storage"
)

// Names that come and go, many in one transaction, leave the lists that the
// names left make: no folder without something in it, none missing.
func TestFoldersAgreeWithAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s, _ := open(t)
	there := map[string]bool{}
	for range 300 {
		next := maps.Clone(there)
		if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
			rows := tx.In(storage.System)
			for range 1 + r.IntN(12) {
				path := []string{"a", "b", "a/a", "a/b", "a/b/a", "a/b/b", "b/a", "b/c/d/e"}[r.IntN(8)]
				switch r.IntN(20) {
				case 0:
					rows.DeletePrefix("")
					clear(next)
				case 1, 2, 3, 4, 5, 6, 7, 8:
					rows.Put(path, []byte("x"))
					next[path] = true
				case 9, 10, 11, 12, 13, 14, 15, 16:
					rows.Delete(path)
					delete(next, path)
				default:
					rows.DeletePrefix(path + "/")
					maps.DeleteFunc(next, func(p string, _ bool) bool { return strings.HasPrefix(p, path+"/") })
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		there = next
		for _, folder := range []string{"", "a", "a/b", "b", "b/c", "b/c/d"} {
			if got, want := list(t, s, folder), below(there, folder); !slices.Equal(got, want) {
				t.Fatalf("below %q: %q, want %q", folder, got, want)
			}
			if got, want := pages(t, s, folder), below(there, folder); !slices.Equal(got, want) {
				t.Fatalf("below %q in pages: %q, want %q", folder, got, want)
			}
		}
	}
}

// below are the names one level below a folder.
func below(paths map[string]bool, folder string) []string {
	names := map[string]bool{}
	for p := range paths {
		rest, ok := strings.CutPrefix(p, folder+"/")
		if folder == "" {
			rest, ok = p, true
		}
		if !ok {
			continue
		}
		name, _, isFolder := strings.Cut(rest, "/")
		if isFolder {
			name += "/"
		}
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Removing all of a large folder in one transaction costs what the folder holds.
func BenchmarkRemoveAFolderOf1000(b *testing.B) {
	s, _ := open(b)
	for b.Loop() {
		b.StopTimer()
		for _, remove := range []bool{false, true} {
			if remove {
				b.StartTimer()
			}
			if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
				for i := range 1000 {
					if path := fmt.Sprint("f/", i); remove {
						tx.In(storage.System).Delete(path)
					} else {
						tx.In(storage.System).Put(path, nil)
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// pages lists a folder one row at a time, each from the last, and sorts that.
func pages(t *testing.T, s *storage.Store, folder string) (names []string) {
	t.Helper()
	last := ""
	for more := true; more; {
		if err := s.View(context.Background(), func(tx *storage.Tx) error {
			more = false
			for name, err := range tx.In(storage.System).From(folder, last) {
				if err != nil {
					return err
				}
				if slices.Contains(names, name) {
					if strings.TrimSuffix(name, "/") != last {
						t.Errorf("%q, from %q, came again", name, last)
					}
					continue
				}
				if next := strings.TrimSuffix(name, "/"); next != last {
					if more {
						break
					}
					last, more = next, true
				}
				names = append(names, name)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	return names
}

// Rows are counted in pages, each once, whatever folders they lie in.
func TestRowsAreCountedInPages(t *testing.T) {
	s, _ := open(t)
	if _, err := s.Update(context.Background(), func(tx *storage.Tx) error {
		for i := range 100 {
			tx.In(storage.System).Put(fmt.Sprintf("a/%d/b", i), nil)
			tx.Of(1).In(storage.Leases).Put(fmt.Sprint(i), nil)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 7, 100, 1000} {
		if err := s.View(context.Background(), func(tx *storage.Tx) error {
			var from storage.Place
			for all, pages := 0, 1; ; pages++ {
				n, next, err := tx.In(storage.System).Size(from, size)
				if err != nil {
					return err
				}
				if all, from = all+n, next; next == nil {
					if want := (100 + size - 1) / size; all != 100 || pages != want {
						t.Errorf("%d rows in %d pages of %d, want %d", all, pages, size, want)
					}
					return nil
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
