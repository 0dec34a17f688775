package main

import "testing"

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want size
		text string
		bad  bool
	}{
		{in: "4096", want: 4096, text: "4KiB"},
		{in: "1GiB", want: 1 << 30, text: "1GiB"},
		{in: "1GB", want: 1e9, text: "1000000000B"},
		{in: "256M", want: 256 << 20, text: "256MiB"},
		{in: "1.5g", want: 3 << 29, text: "1536MiB"},
		{in: "0", want: 0, text: "0B"},
		{in: "banana", bad: true},
		{in: "-1", bad: true},
		{in: "", bad: true},
		{in: "1XB", bad: true},
		{in: "99999999PB", bad: true},
	} {
		var got size
		if err := got.UnmarshalText([]byte(tt.in)); (err != nil) != tt.bad {
			t.Errorf("%q: error %v, want one: %v", tt.in, err, tt.bad)
			continue
		}
		if !tt.bad && (got != tt.want || got.String() != tt.text) {
			t.Errorf("%q = %d %q, want %d %q", tt.in, got, got, tt.want, tt.text)
		}
	}
}

func TestOctal(t *testing.T) {
	for in, want := range map[string]octal{"022": 0o22, "0": 0, "77": 0o77, "0777": 0o777} {
		var got octal
		if err := got.UnmarshalText([]byte(in)); err != nil || got != want {
			t.Errorf("%q = %o, %v, want %o", in, got, err, want)
		}
	}
	for _, in := range []string{"999", "", "1777", "rwx", "-1"} {
		var got octal
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is accepted as %o", in, got)
		}
	}
}

func TestTarget(t *testing.T) {
	for in, want := range map[string]target{
		"footage":             {"footage", ""},
		"footage/":            {"footage", ""},
		"footage/day1":        {"footage", "day1/"},
		"footage/day1/":       {"footage", "day1/"},
		"s3://footage/a b/c":  {"footage", "a b/c/"},
		"Old_Bucket.name/ü/x": {"Old_Bucket.name", "ü/x/"},
	} {
		var got target
		if err := got.UnmarshalText([]byte(in)); err != nil || got != want {
			t.Errorf("%q = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ab", "Not_A_Bucket!", "/x", "https://x/y", "footage/../x", "footage/a//b", "footage/."} {
		var got target
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is accepted as %q", in, got)
		}
	}
	if got := (target{"b", "a/c/"}).String(); got != "b/a/c" {
		t.Errorf("String() = %q, want b/a/c", got)
	}
}

func TestDefaultMemory(t *testing.T) {
	if got := defaultMemory(); got < minMemory || got > 1<<30 {
		t.Errorf("defaultMemory() = %d, want %d to %d", got, minMemory, 1<<30)
	}
}
