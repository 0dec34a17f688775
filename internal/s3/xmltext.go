package s3

import (
	"strings"
)

// xmlText is what is left of an XML document of plain elements. bad stays once it was not
// one.
type xmlText struct {
	rest string
	name string // of the element that is open, innermost
	full bool   // it is not <name/>
	bad  bool
}

// element goes behind the next tag, and tells whether that opens an element. Attributes
// are passed over.
func (x *xmlText) element() (name string, open bool) {
	if x.bad {
		return "", false
	}
	rest := strings.TrimLeft(x.rest, " \t\r\n")
	end := strings.IndexByte(rest, '>')
	if end < 2 || rest[0] != '<' {
		x.bad = true
		return "", false
	}
	tag := rest[1:end]
	x.rest = rest[end+1:]
	if tag[0] == '/' {
		return tag[1:], false
	}
	x.full = tag[len(tag)-1] != '/'
	name, attributes, _ := strings.Cut(strings.TrimSuffix(tag, "/"), " ")
	x.bad = strings.IndexFunc(name, notLetter) >= 0 || name == "" || !onlyNamespace(attributes)
	x.name = name
	return name, true
}

func notLetter(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }

// onlyNamespace tells whether attributes are none, or xmlns="...".
func onlyNamespace(attributes string) bool {
	if attributes == "" {
		return true
	}
	value, ok := strings.CutPrefix(attributes, `xmlns="`)
	value, closed := strings.CutSuffix(value, `"`)
	return ok && closed && !strings.ContainsAny(value, "\"<&\n") && strings.IndexFunc(value, unusual) < 0
}

// children calls read for each element in the one that was opened last, which is closed
// then. read takes the content of its element.
func (x *xmlText) children(read func(name string)) {
	if !x.full {
		return
	}
	outer := x.name
	for !x.bad {
		name, open := x.element()
		if !open {
			x.bad = x.bad || name != outer
			return
		}
		read(name)
	}
}

// skip passes over the content of the element that was opened last: text, or elements of
// text.
func (x *xmlText) skip() {
	if x.full && !x.plain() {
		x.children(func(string) { x.text() })
		return
	}
	x.text()
}

// plain tells whether there is text only in the element that was opened last.
func (x *xmlText) plain() bool {
	at := strings.IndexByte(x.rest, '<')
	return at >= 0 && strings.HasPrefix(x.rest[at:], "</")
}

// text is the content of the element that was opened last.
func (x *xmlText) text() string {
	if x.bad || !x.full {
		return ""
	}
	at := strings.IndexByte(x.rest, '<')
	if at < 0 {
		x.bad = true
		return ""
	}
	s, after := x.rest[:at], x.rest[at:]
	end := len("</") + len(x.name) + len(">")
	if len(after) < end || after[:2] != "</" || after[2:end-1] != x.name || after[end-1] != '>' {
		x.bad = true
		return ""
	}
	x.rest = after[end:]
	return x.plainText(s)
}

// entities are those that need no declaration.
var entities = map[string]string{"quot": `"`, "#34": `"`, "apos": "'", "#39": "'", "lt": "<", "gt": ">", "amp": "&"}

func (x *xmlText) plainText(s string) string {
	x.bad = x.bad || strings.IndexFunc(s, unusual) >= 0 || strings.Contains(s, "]]>")
	if !strings.Contains(s, "&") {
		return s
	}
	var plain strings.Builder
	for {
		before, after, found := strings.Cut(s, "&")
		plain.WriteString(before)
		if !found {
			return plain.String()
		}
		name, rest, closed := strings.Cut(after, ";")
		known, ok := entities[name]
		x.bad = x.bad || !ok || !closed
		plain.WriteString(known)
		s = rest
	}
}

// unusual are characters that XML does not have, or changes.
func unusual(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0xD7FF }

// bool is the content of the element that was opened last.
func (x *xmlText) bool() bool {
	s := x.text()
	x.bad = x.bad || s != "true" && s != "false"
	return s == "true"
}
