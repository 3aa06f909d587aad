# Small named targets with explicit dependencies. Link only by alias: metamcp::<name>.

add_library(metamcp_options INTERFACE)
target_compile_options(metamcp_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  # GCC 12 takes a coroutine frame's own operator delete for a mismatch (false positive).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers;-Wno-mismatched-new-delete>
  $<$<BOOL:${METAMCP_WERROR}>:-Werror>)
target_include_directories(metamcp_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(metamcp_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_SEPARATE_COMPILATION)

if(METAMCP_SANITIZE)
  # Asio keeps freed coroutine frames for reuse, which hides a double free from the sanitizer.
  add_compile_definitions(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING)
  add_compile_options(-fsanitize=${METAMCP_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${METAMCP_SANITIZE})
  if(METAMCP_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Asio uses atomic_thread_fence, which GCC's TSan ignores
  endif()
endif()

if(METAMCP_BLOCK_CACHE)
  if(METAMCP_SANITIZE)
    message(FATAL_ERROR "METAMCP_BLOCK_CACHE would hide frees from the sanitizer")
  endif()
  # Makes Asio take its memory from operator new, which is ours (common/process/block_cache.cc).
  target_compile_definitions(metamcp_options INTERFACE
    BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC BOOST_ASIO_DISABLE_BOOST_ALIGN)
endif()

if(METAMCP_FUZZ)
  # Coverage feedback from the libraries under test, too; undefined behaviour ends the run.
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize-recover=all)
endif()

# A finding of a sanitizer fails the test it was made in.
set(METAMCP_TEST_ENVIRONMENT
  ASAN_OPTIONS=detect_leaks=1:new_delete_type_mismatch=1:detect_stack_use_after_return=1
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  LSAN_OPTIONS=print_suppressions=0)
if(EXISTS ${CMAKE_SOURCE_DIR}/tests/tsan.supp)
  list(APPEND METAMCP_TEST_ENVIRONMENT
    TSAN_OPTIONS=halt_on_error=1:suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp)
endif()

# metamcp_library(<name> HDRS ... SRCS ... DEPS ... PRIVATE_DEPS ... [TESTONLY])
function(metamcp_library NAME)
  cmake_parse_arguments(A "TESTONLY" "" "HDRS;SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "metamcp_library(${NAME}): unknown arguments ${A_UNPARSED_ARGUMENTS}")
  endif()
  if(A_SRCS)
    add_library(metamcp_${NAME} STATIC ${A_SRCS} ${A_HDRS})
    target_link_libraries(metamcp_${NAME} PUBLIC metamcp_options ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  else()
    add_library(metamcp_${NAME} INTERFACE)
    target_link_libraries(metamcp_${NAME} INTERFACE metamcp_options ${A_DEPS})
  endif()
  add_library(metamcp::${NAME} ALIAS metamcp_${NAME})
endfunction()

# metamcp_binary(<output name> SRCS ... DEPS ...)
# The target "programs" builds all of them, and none of the tests.
function(metamcp_binary NAME)
  cmake_parse_arguments(A "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${A_SRCS})
  target_link_libraries(${NAME} PRIVATE metamcp_options ${A_DEPS})
  if(NOT TARGET programs)
    add_custom_target(programs)
  endif()
  add_dependencies(programs ${NAME})
endfunction()

# metamcp_test(<name> SRCS ... DEPS ... [LABELS ...] [TIMEOUT seconds])
# One executable, one ctest entry; labels default to "unit".
function(metamcp_test NAME)
  cmake_parse_arguments(A "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${NAME} ${A_SRCS})
  target_link_libraries(${NAME} PRIVATE metamcp_options ${A_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  if(METAMCP_SANITIZE)
    math(EXPR A_TIMEOUT "4 * ${A_TIMEOUT}")
  endif()
  set_tests_properties(${NAME} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT})
  if(METAMCP_SANITIZE)
    set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${METAMCP_TEST_ENVIRONMENT}")
  endif()
endfunction()

# metamcp_proto(<area> PROTOS ... [DEPS areas ...] [SERVICE])
# Makes metamcp::pb_<area> (messages) and, with SERVICE, metamcp::api_<area> (the coroutine
# interface and its bindings, made by tools/protoc-gen-metamcp).
function(metamcp_proto AREA)
  cmake_parse_arguments(A "SERVICE" "" "PROTOS;DEPS" ${ARGN})
  set(OUT ${CMAKE_BINARY_DIR}/gen)
  set(ROOT ${CMAKE_SOURCE_DIR}/proto)
  set(PB_SRCS)
  set(API_SRCS)
  file(MAKE_DIRECTORY ${OUT})
  foreach(P ${A_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" BASE ${P})
    add_custom_command(
      OUTPUT ${OUT}/${BASE}.pb.cc ${OUT}/${BASE}.pb.h
      COMMAND protobuf::protoc -I ${ROOT} --cpp_out=${OUT} ${ROOT}/${P}
      DEPENDS ${ROOT}/${P} VERBATIM)
    list(APPEND PB_SRCS ${OUT}/${BASE}.pb.cc)
    if(A_SERVICE AND NOT METAMCP_CORE_ONLY AND P MATCHES "_service\\.proto$")
      add_custom_command(
        OUTPUT ${OUT}/${BASE}.metamcp.cc ${OUT}/${BASE}.metamcp.h
        COMMAND protobuf::protoc -I ${ROOT} --metamcp_out=${OUT}
                --plugin=protoc-gen-metamcp=$<TARGET_FILE:protoc-gen-metamcp> ${ROOT}/${P}
        DEPENDS ${ROOT}/${P} protoc-gen-metamcp VERBATIM)
      list(APPEND API_SRCS ${OUT}/${BASE}.metamcp.cc)
    endif()
  endforeach()
  add_library(metamcp_pb_${AREA} STATIC ${PB_SRCS})
  target_include_directories(metamcp_pb_${AREA} SYSTEM PUBLIC ${OUT})
  set(DEP_TARGETS)
  foreach(D ${A_DEPS})
    list(APPEND DEP_TARGETS metamcp::pb_${D})
  endforeach()
  target_link_libraries(metamcp_pb_${AREA} PUBLIC protobuf::libprotobuf ${DEP_TARGETS})
  add_library(metamcp::pb_${AREA} ALIAS metamcp_pb_${AREA})
  if(API_SRCS)
    add_library(metamcp_api_${AREA} STATIC ${API_SRCS})
    target_include_directories(metamcp_api_${AREA} SYSTEM PUBLIC ${OUT})
    target_link_libraries(metamcp_api_${AREA} PUBLIC metamcp::pb_${AREA} metamcp::rpc)
    add_library(metamcp::api_${AREA} ALIAS metamcp_api_${AREA})
  endif()
endfunction()

add_custom_target(fuzz_programs)

# metamcp_fuzz(<name> SRCS ... DEPS ... CORPUS <folder>)
# With METAMCP_FUZZ (clang) a libFuzzer binary; otherwise a test (label fuzz-corpus) that runs each
# file of the corpus through LLVMFuzzerTestOneInput. All of them are the target fuzz_programs.
function(metamcp_fuzz NAME)
  cmake_parse_arguments(A "" "CORPUS" "SRCS;DEPS" ${ARGN})
  if(METAMCP_FUZZ)
    add_executable(${NAME} ${A_SRCS})
    target_compile_options(${NAME} PRIVATE -fsanitize=fuzzer)
    target_link_options(${NAME} PRIVATE -fsanitize=fuzzer)
    set(ARGS -runs=0 ${A_CORPUS})
  else()
    add_executable(${NAME} ${A_SRCS} ${CMAKE_SOURCE_DIR}/tests/fuzz/run_corpus.cc)
    set(ARGS ${A_CORPUS})
  endif()
  target_link_libraries(${NAME} PRIVATE metamcp_options ${A_DEPS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_dependencies(fuzz_programs ${NAME})
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${NAME} PROPERTIES LABELS fuzz-corpus TIMEOUT 60)
  if(METAMCP_SANITIZE)
    set_tests_properties(${NAME} PROPERTIES ENVIRONMENT "${METAMCP_TEST_ENVIRONMENT}")
  endif()
endfunction()
