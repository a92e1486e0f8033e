import Images

/// Lines that a kernel gets: its own and those of its modules.
///
/// Like GRUB's they start with the file that was loaded, and arguments follow. Only the file's name is given and not
/// its path, so that a guest behaves the same wherever the machine file lies, and does not learn of the host's
/// directories.
public enum BootLine {
    /// Blanks in the name become underscores: to the kernel the first word is the file, the rest are arguments.
    public static func text(path: String, arguments: String) -> String {
        let name = String(ImageFile.name(path).map { $0 == " " || $0 == "\t" ? "_" : $0 })
        return arguments.isEmpty ? name : name + " " + arguments
    }

    /// Splits "path arguments" behind the shortest beginning that `isFile`, so that a directory's name may have
    /// blanks. nil: there is no such file.
    public static func split(_ text: String, isFile: (String) -> Bool) -> (path: String, arguments: String)? {
        for index in text.indices where text[index] == " " && isFile(String(text[..<index])) {
            return (String(text[..<index]), String(text[index...].drop { $0 == " " }))
        }
        return isFile(text) ? (text, "") : nil
    }
}
