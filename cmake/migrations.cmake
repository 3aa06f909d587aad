# metamcp_migrations(<target> <component> [AS <file>] FILES 0001.sqlite.sql 0001.postgres.sql ...)
# Embeds a component's schema steps in <target>, whose code then includes
# "migrations/<component>.h" and calls metamcp::<component>::Migrations(). Every number needs both
# files; the step's name is the first line of the SQLite file, "-- name of the step". Its second line
# may be "-- needs: K": the last step that a program must know to work with this one (K below the
# step's own number where it only adds; see common/db/migrations.h). A second list of one component, in
# another program, is written to a file of its own (AS).
function(metamcp_migrations TARGET COMPONENT)
  cmake_parse_arguments(A "" "AS" "FILES" ${ARGN})
  if(NOT A_AS)
    set(A_AS ${COMPONENT})
  endif()
  set(OUT ${CMAKE_BINARY_DIR}/gen/migrations)
  set(NUMBERS)
  foreach(F ${A_FILES})
    get_filename_component(BASE ${F} NAME)
    if(NOT BASE MATCHES "^([0-9][0-9][0-9][0-9])\\.(sqlite|postgres)\\.sql$")
      message(FATAL_ERROR "metamcp_migrations(${COMPONENT}): bad file name ${F}")
    endif()
    set(N ${CMAKE_MATCH_1})
    set(KIND ${CMAKE_MATCH_2})
    get_filename_component(FULL ${F} ABSOLUTE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${FULL})
    file(READ ${FULL} TEXT_${N}_${KIND})
    list(APPEND NUMBERS ${N})
  endforeach()
  list(REMOVE_DUPLICATES NUMBERS)
  list(SORT NUMBERS)

  set(ROWS "")
  foreach(N ${NUMBERS})
    if(NOT DEFINED TEXT_${N}_sqlite OR NOT DEFINED TEXT_${N}_postgres)
      message(FATAL_ERROR "metamcp_migrations(${COMPONENT}): ${N} needs .sqlite.sql and .postgres.sql")
    endif()
    if(NOT "${TEXT_${N}_sqlite}" MATCHES "^-- ([^\n\"\\]+)\n")
      message(FATAL_ERROR "metamcp_migrations(${COMPONENT}): ${N} must begin with '-- name'")
    endif()
    set(NAME "${CMAKE_MATCH_1}")
    set(NEEDS 0)
    if("${TEXT_${N}_sqlite}" MATCHES "^[^\n]*\n-- needs: ([0-9]+)\n")
      set(NEEDS ${CMAKE_MATCH_1})
    endif()
    string(REGEX REPLACE "^0+" "" NUMBER ${N})
    string(APPEND ROWS "    {${NUMBER}, \"${NAME}\", R\"metamcp(${TEXT_${N}_sqlite})metamcp\",\n"
                       "     R\"metamcp(${TEXT_${N}_postgres})metamcp\", ${NEEDS}},\n")
  endforeach()

  set(HEADER "#pragma once
#include <span>
#include \"common/db/migrations.h\"
namespace metamcp::${COMPONENT} {
std::span<const metamcp::db::Migration> Migrations();
}
")
  set(SOURCE "#include \"migrations/${COMPONENT}.h\"
namespace metamcp::${COMPONENT} {
namespace {
constexpr metamcp::db::Migration kSteps[] = {
${ROWS}};
}  // namespace
std::span<const metamcp::db::Migration> Migrations() { return kSteps; }
}  // namespace metamcp::${COMPONENT}
")
  # Written aside and copied, so that an unchanged text does not cause a rebuild.
  foreach(EXT h cc)
    if(EXT STREQUAL h)
      file(WRITE ${OUT}/.tmp/${A_AS}.${EXT} "${HEADER}")
    else()
      file(WRITE ${OUT}/.tmp/${A_AS}.${EXT} "${SOURCE}")
    endif()
    configure_file(${OUT}/.tmp/${A_AS}.${EXT} ${OUT}/${A_AS}.${EXT} COPYONLY)
  endforeach()
  target_sources(${TARGET} PRIVATE ${OUT}/${A_AS}.cc)
  target_include_directories(${TARGET} PRIVATE ${CMAKE_BINARY_DIR}/gen)
  target_link_libraries(${TARGET} PRIVATE metamcp::db)
endfunction()
