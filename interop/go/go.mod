module interop

go 1.25.0

require cloud.google.com/go/chat v0.0.0

// Generated from proto/, at the import path that its go_package names. What else is
// needed is asked for by interop/run, in the newest release.
replace cloud.google.com/go/chat => ./gen/cloud.google.com/go/chat
