# cmake -DIN=<file> -DOUT=<file.cc> -DSYMBOL=<name> -P embed.cmake
# Writes the bytes of IN as `extern const unsigned char <name>[]; extern const size_t <name>_size;`.
file(READ ${IN} HEX HEX)
string(LENGTH "${HEX}" DIGITS)
math(EXPR SIZE "${DIGITS} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" HEX "${HEX}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," HEX "${HEX}")
file(WRITE ${OUT} "#include <cstddef>
extern const unsigned char ${SYMBOL}[];
extern const size_t ${SYMBOL}_size;
const unsigned char ${SYMBOL}[] = {
${HEX}};
const size_t ${SYMBOL}_size = ${SIZE};
")
