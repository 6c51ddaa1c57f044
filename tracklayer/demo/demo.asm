; TRACKLAYER: a train that lays its own track.
;
; For the Game Boy, 32 KiB, no mapper. A picture of what the project does: the train's crane lays each length of
; track just before the wheels get there, and it does so with code that the program writes at run time.
;
;   Left, Right   throttle            A        whistle
;   Select        time of day         Start    stop and go
;
; What runs here, for whoever tests an emulator with it:
;   - five bands of landscape at five speeds: SCX and BGP change in mid-frame, by an LYC interrupt that waits for HBlank
;   - that interrupt's handler lies in RAM and changes its own operands on every line it handles
;   - all changes to the tile maps are compiled: the main loop writes LD A,n / LD [nn],A ... RET, VBlank calls it
;   - OAM DMA from HRAM, 37 objects of 8x16, a window, four sound channels, the timer, the joypad, the serial port, DAA

; ---- hardware: Pan Docs, "Hardware Registers" ----

rP1   = $FF00
rSB   = $FF01
rSC   = $FF02
rTIMA = $FF05
rTMA  = $FF06
rTAC  = $FF07
rIF   = $FF0F
rNR10 = $FF10
rNR11 = $FF11
rNR12 = $FF12
rNR13 = $FF13
rNR14 = $FF14
rNR21 = $FF16
rNR22 = $FF17
rNR23 = $FF18
rNR24 = $FF19
rNR30 = $FF1A
rNR31 = $FF1B
rNR32 = $FF1C
rNR33 = $FF1D
rNR34 = $FF1E
rNR41 = $FF20
rNR42 = $FF21
rNR43 = $FF22
rNR44 = $FF23
rNR50 = $FF24
rNR51 = $FF25
rNR52 = $FF26
rWAVE = $FF30
rLCDC = $FF40
rSTAT = $FF41
rSCY  = $FF42
rSCX  = $FF43
rLY   = $FF44
rLYC  = $FF45
rDMA  = $FF46
rBGP  = $FF47
rOBP0 = $FF48
rOBP1 = $FF49
rWY   = $FF4A
rWX   = $FF4B
rIE   = $FFFF

OBJECT_TILES = $8000
UPPER_TILES  = $8800        ; tile numbers 128 and on
LOWER_TILES  = $9000        ; tile numbers 0 and on: a tile's number is its character
MAP          = $9800
WINDOW_MAP   = $9C00

PRESSED_A      = %00000001
PRESSED_SELECT = %00000100
PRESSED_START  = %00001000
PRESSED_RIGHT  = %00010000
PRESSED_LEFT   = %00100000

; ---- the stage ----

TRAIN_X    = 16             ; left end of the tender
TRAIN_Y    = 83             ; top of the chimney; the rails are 31 lines below
LOCO_X     = TRAIN_X + 24
CRANE_X    = LOCO_X + 40
PIECE_X    = CRANE_X + 9
CHIMNEY_X  = LOCO_X + 24
WHISTLE_X  = LOCO_X + 7
LAID       = 11             ; columns from the left edge of the screen to the length of track being laid
INCOMING   = 21             ; columns to the one that is about to come into view

THROTTLES  = 8
NOTCH      = $0050          ; speed of one notch, in 1/256 pixels a frame
PUFFS      = 8
PUFF_LIFE  = 56             ; frames

; Objects, as numbers of 8x16 tiles.
TENDER = (tender_tiles - object_tiles) / 16
LOCO   = (loco_tiles - object_tiles) / 16
WHEELS = LOCO + 10
CRANE  = (crane_tiles - object_tiles) / 16
PIECE  = (piece_tiles - object_tiles) / 16
SUN    = (sun_tiles - object_tiles) / 16
PUFF   = (puff_tiles - object_tiles) / 16

; ==== vectors ====

    org $0000
    ret

    org $0040               ; VBlank
    jp vblank

    org $0048               ; LCD: the handler is in RAM, because it changes itself
    jp band_handler

    org $0050
    jp timer

    org $0058               ; serial
    reti

    org $0060               ; joypad
    reti

; ==== header ====

    org $0100
    nop
    jp start

    org $0104               ; where others have a logo
    db "TRACKLAYER: NO LOGO HERE, AND NO BOOT ROM"
    assert @ <= $0134, "the text is longer than the logo would be"

    org $0134
    db "TRACKLAYER"

    org $0143
    db $00                  ; for the monochrome Game Boy
    db "TL"                 ; licensee
    db $00                  ; no Super Game Boy functions
    db $00                  ; no mapper
    db $00                  ; 32 KiB
    db $00                  ; no RAM
    db $01                  ; not only for Japan
    db $33                  ; the licensee is the one above
    db $00                  ; version
    ds 3, 0                 ; checksums: the builder's

; ==== start ====

    org $0150
start:
    di
    ld sp,stack_top
    call say_hello

    ; The screen must be off before VRAM is written at leisure, and only VBlank is a safe time to turn it off.
.wait:
    ldh a,[rLY]
    cp a,144
    jr nz,.wait
    xor a,a
    ldh [rLCDC],a

    ; Clear work RAM up to the stack, and VRAM.
    ld hl,$C000
    ld bc,stack_bottom - $C000
    call clear
    ld hl,$8000
    ld bc,$2000
    call clear

    ; Everything that is copied somewhere, by a table.
    ld hl,copies
.next_copy:
    ld a,[hl+]
    ld e,a
    ld a,[hl+]
    ld d,a                  ; to
    or a,e
    jr z,.copied
    ld a,[hl+]
    ld c,a
    ld a,[hl+]
    ld b,a                  ; how many
    ld a,[hl+]
    push hl
    ld l,[hl]
    ld h,l
    ld l,a                  ; from
    call copy
    pop hl
    inc hl
    jr .next_copy
.copied:
    call draw_title_and_mountains

    ld hl,objects
    ld bc,160
    call clear

    ld a,4
    ld [throttle],a
    ld a,$5A
    ld [noise],a
    ld a,STEPS - 1
    ld [step],a             ; the first step of music is 0
    call set_palettes
    call start_sound

    ; Registers of the screen.
    xor a,a
    ldh [rSCX],a
    ldh [rSCY],a
    ldh [rIF],a
    ld a,7
    ldh [rWX],a
    ld a,128
    ldh [rWY],a
    ld a,%01000000          ; an interrupt where LY = LYC
    ldh [rSTAT],a
    ld a,255
    ldh [rLYC],a

    ; The timer: 4096 Hz / 64.
    ld a,256 - 64
    ldh [rTMA],a
    ldh [rTIMA],a
    ld a,%00000100
    ldh [rTAC],a

    ld a,%00000111          ; VBlank, LCD, timer
    ldh [rIE],a
    ld a,%11100111          ; screen, window at 9C00, window, tiles at 8800, map at 9800, 8x16 objects, objects, background
    ldh [rLCDC],a
    ei

; ==== each frame ====

main:
    call read_joypad
    call steer
    call roll
    call watch_the_clock
    call place_objects
    call move_puffs
    call draw_status
    call play_music

    ; The code for VBlank is complete: close it with RET and let VBlank have it.
    ld a,[emit_next]
    ld l,a
    ld h,high(track_code)
    ld [hl],$C9             ; RET
    ld a,1
    ld [ready],a
.sleep:
    halt
    nop
    ld a,[ready]
    and a,a
    jr nz,.sleep
    jr main

; ---- VBlank: objects, the compiled changes, the first band ----

vblank:
    push af
    push bc
    push de
    push hl
    ld a,[ready]
    and a,a
    jr z,.late              ; the main loop is not done: show the last frame again
    call dma
    call track_code
    xor a,a
    ld [ready],a
    ld [emit_next],a
    ld hl,bands_ready       ; the bands of the frame that is about to be drawn
    ld de,bands
    ld c,BANDS * 3
.copy:
    ld a,[hl+]
    ld [de],a
    inc e
    dec c
    jr nz,.copy
.late:
    xor a,a
    ldh [rSCX],a
    ld a,[title_palette]
    ldh [rBGP],a
    ld hl,object_palettes
    ld a,[hl+]
    ldh [rOBP0],a
    ld a,[hl+]
    ldh [rOBP1],a
    ld hl,bands
    ld a,[hl+]
    ldh [rLYC],a
    ld a,[hl+]
    ld [band_scx + 1],a
    ld a,[hl+]
    ld [band_palette + 1],a
    ld a,l
    ld [band_next + 1],a
    ld hl,frames
    inc [hl]
    pop hl
    pop de
    pop bc
    pop af
    reti

; ---- the timer: 64 times a second ----

timer:
    push af
    ld a,[ticks]
    inc a
    ld [ticks],a
    pop af
    reti

; ---- the LYC interrupt: its operands are where it keeps what comes next ----

band_handler_source:
    phase $C100
band_handler:
    push af
    push hl
.wait:
    ldh a,[rSTAT]
    and a,%00000011
    jr nz,.wait             ; until HBlank
band_scx:
    ld a,0                  ; the operand is the band's SCX
    ldh [rSCX],a
band_palette:
    ld a,0                  ; and this its BGP
    ldh [rBGP],a
band_next:
    ld hl,bands             ; and this where the next band is described
    ld a,[hl+]
    ldh [rLYC],a
    ld a,[hl+]
    ld [band_scx + 1],a
    ld a,[hl+]
    ld [band_palette + 1],a
    ld a,l
    ld [band_next + 1],a
    pop hl
    pop af
    reti
    dephase
band_handler_end:

; ---- OAM DMA: from HRAM, since nothing else can be read meanwhile ----

dma_source:
    phase $FF80
dma:
    ld a,high(objects)
    ldh [rDMA],a
    ld a,40
.wait:
    dec a
    jr nz,.wait
    ret
    dephase
dma_end:

; ==== the joypad ====

; keys: what is held; pressed: what has just been pressed. A B Select Start Right Left Up Down, from bit 0.
read_joypad:
    ld a,%00010000          ; buttons
    ldh [rP1],a
    ldh a,[rP1]
    ldh a,[rP1]
    cpl
    and a,$0F
    ld b,a
    ld a,%00100000          ; directions
    ldh [rP1],a
    ldh a,[rP1]
    ldh a,[rP1]
    ldh a,[rP1]
    ldh a,[rP1]
    cpl
    and a,$0F
    swap a
    or a,b
    ld b,a
    ld a,%00110000
    ldh [rP1],a
    ld a,[keys]
    cpl
    and a,b
    ld [pressed],a
    ld a,b
    ld [keys],a
    ret

steer:
    ld a,[pressed]
    ld b,a
    ld hl,throttle
    and a,PRESSED_RIGHT
    jr z,.not_right
    ld a,[hl]
    cp a,THROTTLES
    jr z,.not_right
    inc [hl]
.not_right:
    ld a,b
    and a,PRESSED_LEFT
    jr z,.not_left
    ld a,[hl]
    and a,a
    jr z,.not_left
    dec [hl]
.not_left:
    ld a,b
    and a,PRESSED_START
    jr z,.not_start
    ld a,[hl]
    and a,a
    ld a,0
    jr nz,.stop_or_go
    ld a,5
.stop_or_go:
    ld [hl],a
.not_start:
    ld a,b
    and a,PRESSED_A
    call nz,whistle

    ; The train follows the throttle slowly: it is heavy.
    ld a,[throttle]
    ld hl,0
    ld de,NOTCH
    and a,a
    jr z,.target
.multiply:
    add hl,de
    dec a
    jr nz,.multiply
.target:
    ld a,[speed]
    ld e,a
    ld a,[speed + 1]
    ld d,a
    ld a,l
    sub a,e
    ld c,a
    ld a,h
    sbc a,d                 ; AC = target - speed
    or a,c
    ret z
    ld a,h
    sub a,d
    jr c,.slower
    jr nz,.faster
    ld a,l
    cp a,e
    jr c,.slower
.faster:
    ld hl,2
    jr .change
.slower:
    ld hl,-4
.change:
    add hl,de
    bit 7,h
    jr z,.not_negative
    ld hl,0
.not_negative:
    ld a,l
    and a,$FE
    ld [speed],a
    ld a,h
    ld [speed + 1],a
    ret

; ==== rolling on ====

; Move by `speed`; describe the bands; when a column of 8 pixels is passed, lay track and make new land.
roll:
    ld hl,speed
    ld a,[hl+]
    ld c,a
    ld b,[hl]
    ld hl,position          ; 24 bits: 1/256 pixels, pixels, pixels * 256
    ld a,[hl]
    add a,c
    ld [hl+],a
    ld a,[hl]
    ld d,a
    adc a,b
    ld [hl+],a
    ld e,a
    ld a,[hl]
    adc a,0
    ld [hl],a
    ld a,d
    xor a,e
    and a,$F8
    call nz,next_column

    ld a,[position + 1]
    ld l,a
    ld a,[position + 2]
    ld h,a                  ; HL = pixels
    ld a,l
    ld [scx_ground],a
    srl h
    rr l
    ld a,l
    ld [scx_hills],a
    srl h
    rr l
    srl h
    rr l
    ld a,l
    ld [scx_mountains],a
    srl h
    rr l
    ld a,[frames]           ; clouds also drift by themselves
    swap a
    and a,$0F
    ld b,a
    ld a,[drift]
    cp a,b
    ld a,b
    ld [drift],a
    ld a,[drifted]
    jr z,.no_drift
    inc a
    ld [drifted],a
.no_drift:
    add a,l
    ld [scx_clouds],a
    ret

; A column: lay a length of track under the crane, and put new land where the screen will be next.
next_column:
    ; One metre more, in decimal.
    ld hl,distance
    ld a,[hl]
    add a,1
    daa
    ld [hl+],a
    ld a,[hl]
    adc a,0
    daa
    ld [hl+],a
    ld a,[hl]
    adc a,0
    daa
    ld [hl],a

    ld a,LAID
    call column_address
    ld de,14 * 32
    add hl,de
    ld a,'='
    call emit_store

    ld a,INCOMING
    call column_address
    ld de,12 * 32
    add hl,de
    call random
    ld b,a
    and a,$07               ; an eighth of the land has something on it
    ld a,'w'
    jr nz,.plain
    ld a,b
    swap a
    and a,$03
    add a,'w'
.plain:
    call emit_store
    ld de,32
    add hl,de
    ld a,b
    and a,$38
    ld a,'w'
    jr nz,.plain_too
    ld a,b
    rlca
    rlca
    and a,$03
    add a,'w'
.plain_too:
    call emit_store
    add hl,de
    ld a,[distance]
    and a,$07
    ld a,'<'
    jr nz,.no_flag
    ld a,'>'
.no_flag:
    call emit_store
    add hl,de
    call random
    and a,$0C
    ld a,'?'
    jr nz,.no_bush
    ld a,'@'
.no_bush:
    jp emit_store

; HL <- the address, in row 0 of the map, of the column that is A columns right of the screen's left edge.
column_address:
    ld b,a
    ld a,[position + 1]
    rrca
    rrca
    rrca
    add a,b
    and a,31
    ld l,a
    ld h,high(MAP)
    ret

; A <- the next of 255 numbers: a shift register with feedback, as in the sound chip.
random:
    ld a,[noise]
    srl a
    jr nc,.no_feedback
    xor a,$B8
.no_feedback:
    ld [noise],a
    ret

; Compile "store A at HL" into the code for VBlank: LD A,n / LD [nn],A. Keeps all but A.
emit_store:
    push bc
    push de
    ld b,a
    ld a,[emit_next]
    ld e,a
    ld d,high(track_code)
    ld a,$3E                ; LD A,n
    ld [de],a
    inc e
    ld a,b
    ld [de],a
    inc e
    ld a,$EA                ; LD [nn],A
    ld [de],a
    inc e
    ld a,l
    ld [de],a
    inc e
    ld a,h
    ld [de],a
    inc e
    ld a,e
    ld [emit_next],a
    pop de
    pop bc
    ret

; ==== day and night ====

watch_the_clock:
    ld a,[pressed]
    and a,PRESSED_SELECT
    jr nz,.next
    ld a,[frames]
    and a,a
    ret nz
    ld a,[hours]            ; every 256 frames
    inc a
    ld [hours],a
    and a,$03
    ret nz
.next:
    ld a,[daytime]
    inc a
    and a,$03
    ld [daytime],a

; Palettes of the time of day, for each band; and the bands that the next frame will have.
set_palettes:
    ld a,[daytime]
    add a,a
    add a,a
    add a,a
    ld e,a
    ld d,0
    ld hl,palettes
    add hl,de
    ld de,title_palette
    ld b,8
.copy:
    ld a,[hl+]
    ld [de],a
    inc e
    dec b
    jr nz,.copy
    ret

; The bands, ready for VBlank: the line in whose HBlank to change, SCX, BGP.
describe_bands:
    ld hl,bands_ready
    ld de,scx_clouds
    ld bc,band_lines
.band:
    ld a,[bc]
    ld [hl+],a
    inc bc
    cp a,255
    ret z
    ld a,[de]
    ld [hl+],a
    push de
    ld a,e
    add a,title_palette + 1 - scx_clouds
    ld e,a
    ld a,[de]
    ld [hl+],a
    pop de
    inc e
    jr .band

BANDS = 6
band_lines:
    db 23, 47, 79, 95, 127, 255

;      title  clouds mountains hills ground status objects
palettes:
    db $E4,   $E4,   $E4,      $E4,  $E4,   $1B,   $E4, $A0    ; day
    db $E1,   $E1,   $F9,      $F9,  $F8,   $1B,   $E4, $A0    ; dusk
    db $1B,   $6F,   $7B,      $FB,  $F9,   $1B,   $E4, $A0    ; night
    db $E1,   $E1,   $F9,      $F9,  $F8,   $1B,   $E4, $A0    ; dawn

; ==== objects ====

; The train, the crane, the sun. Smoke comes behind these.
place_objects:
    call describe_bands
    ld a,[position + 1]
    rrca
    rrca
    rrca
    and a,$03
    ld [phase],a            ; of the wheels: 32 pixels a turn

    ; The upper halves sway a little.
    ld a,[position + 1]
    and a,%00011000
    cp a,%00010000
    ld d,TRAIN_Y + 16
    jr nz,.steady
    inc d
.steady:
    ld hl,objects
    xor a,a
    ld [attributes],a
    ld bc,3 << 8 | TENDER
    ld e,TRAIN_X + 8
    call put_row
    ld bc,5 << 8 | LOCO
    call put_row
    ld bc,2 << 8 | CRANE
    call put_row

    ld d,TRAIN_Y + 16 + 16
    ld bc,3 << 8 | (TENDER + 6)
    ld e,TRAIN_X + 8
    call put_row
    ld a,[phase]            ; ten tiles for each position of the wheels
    ld b,a
    add a,a
    add a,a
    add a,b
    add a,a
    add a,WHEELS
    ld c,a
    ld b,5
    call put_row

    ; The length of track on the hook sinks as the train goes on, and lies when the column is full.
    ld a,[position + 1]
    and a,$07
    add a,a
    add a,TRAIN_Y + 2 + 16
    ld d,a
    ld e,PIECE_X + 8
    ld bc,1 << 8 | PIECE
    call put_row

    ld a,%10010000          ; behind clouds, second palette
    ld [attributes],a
    ld d,22 + 16
    ld e,136 + 8
    ld bc,2 << 8 | SUN
    call put_row

    ; Steam from the whistle.
    ld a,%00010000
    ld [attributes],a
    ld d,0                  ; out of sight
    ld a,[whistling]
    and a,a
    jr z,.silent
    and a,$02
    add a,TRAIN_Y - 8 + 16
    ld d,a
.silent:
    ld e,WHISTLE_X + 8
    ld bc,2 << 8 | (PUFF + 8)
    call put_row
    ld a,l
    ld [puffs_at],a
    ret

; B objects side by side from E on at line D, tiles from C on, to HL. Leaves E, C and HL behind the last.
put_row:
    ld a,d
    ld [hl+],a
    ld a,e
    ld [hl+],a
    add a,8
    ld e,a
    ld a,c
    ld [hl+],a
    inc c
    inc c
    ld a,[attributes]
    ld [hl+],a
    dec b
    jr nz,put_row
    ret

; Smoke: each puff has an age (0: none), x in 1/256, x, y. It rises, grows, thins, and stays behind: not quite as fast
; as the land, for it left the chimney at the train's speed.
move_puffs:
    call chuff
    ld a,[speed + 1]
    srl a
    ld [wind + 1],a
    ld a,[speed]
    rra
    add a,$30               ; even at rest
    ld [wind],a
    jr nc,.calm
    ld hl,wind + 1
    inc [hl]
.calm:
    ld a,[puffs_at]
    ld l,a
    ld h,high(objects)
    ld de,puffs
.puff:
    push hl
    ld h,d
    ld l,e
    ld a,[hl]
    and a,a
    jr z,.none
    inc a
    cp a,PUFF_LIFE
    jr z,.gone
    ld [hl+],a
    ld b,a                  ; B = age
    ld a,[wind]
    ld c,a
    ld a,[hl]
    sub a,c
    ld [hl+],a
    ld a,[wind + 1]
    ld c,a
    ld a,[hl]
    sbc a,c
    ld [hl+],a
    ld c,a                  ; C = x
    cp a,240
    jr nc,.left             ; off the left edge
    ld a,b                  ; up, every other frame
    rrca
    jr nc,.level
    dec [hl]
.level:
    ld a,[hl]
    add a,16
    ld d,a                  ; D = line
    ld a,c
    add a,8
    ld e,a
    ld a,b                  ; the older, the bigger; the fifth picture is the last
    rrca
    rrca
    rrca
    and a,$0F
    cp a,5
    jr c,.picture
    ld a,4
.picture:
    add a,a
    add a,a
    add a,PUFF
    ld c,a
    ld b,2
    ld a,l                  ; HL is at the puff's y
    pop hl
    push af
    call put_row
    pop af
    ld e,a
    ld d,high(puffs)
    jr .next
.left:
    dec l
    dec l
    dec l
    jr .clear
.gone:
.clear:
    ld [hl],0
.none:
    ld a,l
    or a,$03
    ld e,a
    ld d,high(puffs)
    pop hl
    ld b,2                  ; two objects out of sight
.hide:
    ld [hl],0
    inc l
    inc l
    inc l
    inc l
    dec b
    jr nz,.hide
.next:
    inc e
    ld a,e
    cp a,low(puffs + PUFFS * 4)
    jr nz,.puff
    ret

; Twice a turn of the wheels: a puff from the chimney, and its sound.
chuff:
    ld a,[phase]
    and a,$01
    ld b,a
    ld a,[last_half]
    cp a,b
    ret z
    ld a,b
    ld [last_half],a
    and a,a
    ret z
    ld a,[whistling]
    and a,a
    jr nz,.quiet
    ld a,$3A
    ldh [rNR41],a
    ld a,[throttle]         ; the harder it works, the louder
    add a,3
    swap a
    and a,$F0
    or a,$02
    ldh [rNR42],a
    ld a,$45
    ldh [rNR43],a
    ld a,%11000000
    ldh [rNR44],a
.quiet:
    ld hl,puffs
    ld b,PUFFS
.find:
    ld a,[hl]
    and a,a
    jr z,.free
    ld a,l
    add a,4
    ld l,a
    dec b
    jr nz,.find
    ret
.free:
    ld a,1
    ld [hl+],a
    xor a,a
    ld [hl+],a
    ld a,CHIMNEY_X
    ld [hl+],a
    call random
    and a,$03
    add a,TRAIN_Y - 14
    ld [hl],a
    ret

; ==== the status line ====

; Six decimal digits, the speed, the time of day: compiled like everything that goes to a map.
draw_status:
    ld hl,WINDOW_MAP + 12
    ld de,distance + 2
    ld b,3
.digits:
    ld a,[de]
    dec e
    ld c,a
    swap a
    and a,$0F
    add a,'0'
    call emit_store
    inc l
    ld a,c
    and a,$0F
    add a,'0'
    call emit_store
    inc l
    dec b
    jr nz,.digits

    ; How many notches of speed: by subtraction.
    ld a,[speed]
    ld l,a
    ld a,[speed + 1]
    ld h,a
    ld de,-NOTCH
    ld b,-1
.count:
    inc b
    add hl,de
    jr c,.count
    ld hl,WINDOW_MAP + 32 + 6
    ld c,THROTTLES
.gauge:
    ld a,b
    and a,a
    ld a,']'
    jr z,.empty
    dec b
    ld a,'['
.empty:
    call emit_store
    inc l
    dec c
    jr nz,.gauge

    ld a,[daytime]
    ld b,a
    add a,a
    add a,a
    add a,b
    ld e,a
    ld d,0
    ld hl,daytime_names
    add hl,de
    ld d,h
    ld e,l
    ld hl,WINDOW_MAP + 32 + 15
    ld b,5
.name:
    ld a,[de]
    inc de
    call emit_store
    inc l
    dec b
    jr nz,.name
    ret

daytime_names:
    db "  DAY", " DUSK", "NIGHT", " DAWN"

; ==== sound: Pan Docs, "Audio Registers" ====

start_sound:
    ld a,$80
    ldh [rNR52],a           ; on
    ld a,$FF
    ldh [rNR51],a           ; all channels on both sides
    ld a,$55
    ldh [rNR50],a
    xor a,a
    ldh [rNR10],a
    ldh [rNR30],a
    ld hl,wave
    ld c,low(rWAVE)
.wave:
    ld a,[hl+]
    ldh [C],a
    inc c
    ld a,c
    cp a,low(rWAVE) + 16
    jr nz,.wave
    ret

; Two triangles: the channel takes twice as long as the others for its 32 samples, so a note is as high as its name says.
wave:
    rept 2
    db $02,$46,$8A,$CE,$FD,$B9,$75,$31
    endr

STEP = 8                    ; ticks of 1/64 s to a step of music
STEPS = 128

play_music:
    ld a,[whistling]
    and a,a
    jr z,.no_whistle
    dec a
    ld [whistling],a
    jr nz,.no_whistle
    xor a,a                 ; the steam is off: both voices silent until their next note
    ldh [rNR12],a
    ldh [rNR22],a
.no_whistle:
    ld a,[ticks]
    cp a,STEP
    ret c
    sub a,STEP
    ld [ticks],a

    ld a,[step]
    inc a
    and a,STEPS - 1
    ld [step],a
    ld e,a
    ld d,0

    ld a,[whistling]
    and a,a
    jr nz,.bass
    ld hl,melody
    call note_at
    jr z,.harmony
    jr c,.melody_off
    ld a,$80
    ldh [rNR11],a
    ld a,$93
    ldh [rNR12],a
    ld a,c
    ldh [rNR13],a
    ld a,b
    ldh [rNR14],a
    jr .harmony
.melody_off:
    xor a,a
    ldh [rNR12],a
.harmony:
    ld hl,harmony
    call note_at
    jr z,.bass
    jr c,.harmony_off
    ld a,$40
    ldh [rNR21],a
    ld a,$52
    ldh [rNR22],a
    ld a,c
    ldh [rNR23],a
    ld a,b
    ldh [rNR24],a
    jr .bass
.harmony_off:
    xor a,a
    ldh [rNR22],a
.bass:
    ld hl,bass
    call note_at
    ret z
    jr c,.bass_off
    ld a,$80
    ldh [rNR30],a
    ld a,%00100000
    ldh [rNR32],a
    ld a,c
    ldh [rNR33],a
    ld a,b
    ldh [rNR34],a
    ret
.bass_off:
    xor a,a
    ldh [rNR30],a
    ret

; The note at step DE of the voice at HL. BC <- its period, with the trigger bit. Z: hold the last. C: silence.
note_at:
    add hl,de
    ld a,[hl]
    and a,a
    ret z
    cp a,$FF
    jr z,.silence
    dec a
    add a,a
    ld c,a
    ld b,0
    ld hl,periods
    add hl,bc
    ld a,[hl+]
    ld c,a
    ld a,[hl]
    or a,$80
    ld b,a
    or a,a                  ; not Z, not C
    ret
.silence:
    or a,a
    scf
    ret

; Two notes that do not quite agree, as a steam whistle has.
whistle:
    ld a,40
    ld [whistling],a
    ld a,$C0
    ldh [rNR11],a
    ldh [rNR21],a
    ld a,$A7
    ldh [rNR12],a
    ldh [rNR22],a
    ld a,low(period(56))
    ldh [rNR13],a
    ld a,high(period(56)) | $80
    ldh [rNR14],a
    ld a,low(period(59) + 3)
    ldh [rNR23],a
    ld a,high(period(59)) | $80
    ldh [rNR24],a
    ret

periods:
    rept 72, n
    dw period(n + 1)
    endr

; Written for this cartridge. Eight steps to a bar.
melody:
notes
    E5 .  G5 .  E5 .  C5 .  | D5 E5 .  D5 C5 .  G4 .  | A4 .  C5 .  F5 .  E5 .  | D5 .  C5 .  E5 .  .  .
    E5 .  G5 .  A5 .  G5 .  | E5 .  C5 .  D5 E5 .  .  | D5 .  B4 .  G4 .  B4 D5 | C5 .  .  .  .  .  -  .
    A5 .  .  G5 F5 .  A5 .  | G5 .  .  E5 C5 .  .  .  | B4 D5 .  G5 F5 .  D5 .  | E5 .  .  .  C5 .  .  .
    A5 .  .  G5 F5 .  A5 .  | G5 .  E5 .  C6 .  .  .  | B5 .  A5 .  G5 .  F5 D5 | C5 .  .  .  -  .  .  .
end
harmony:
notes
    -  .  G4 .  .  .  G4 .  | -  .  G4 .  .  .  E4 .  | -  .  A4 .  .  .  A4 .  | -  .  G4 .  .  .  G4 .
    -  .  G4 .  .  .  G4 .  | -  .  A4 .  .  .  A4 .  | -  .  F4 .  .  .  F4 .  | -  .  E4 .  G4 .  E4 .
    -  .  C5 .  .  .  C5 .  | -  .  G4 .  .  .  G4 .  | -  .  F4 .  .  .  F4 .  | -  .  G4 .  .  .  G4 .
    -  .  C5 .  .  .  C5 .  | -  .  G4 .  .  .  G4 .  | -  .  F4 .  .  .  F4 .  | -  .  E4 .  G4 .  E4 .
end
bass:
notes
    C3 .  -  .  G2 .  -  .  | C3 .  -  .  G2 .  -  .  | F2 .  -  .  C3 .  -  .  | C3 .  -  .  G2 .  -  .
    C3 .  -  .  G2 .  -  .  | A2 .  -  .  E3 .  -  .  | G2 .  -  .  D3 .  -  .  | C3 .  -  .  G2 .  C3 .
    F2 .  -  .  C3 .  -  .  | C3 .  -  .  G2 .  -  .  | G2 .  -  .  D3 .  -  .  | C3 .  -  .  G2 .  -  .
    F2 .  -  .  C3 .  -  .  | C3 .  -  .  G2 .  -  .  | G2 .  -  .  D3 .  -  .  | C3 .  -  .  G2 .  C3 .
end
    assert harmony - melody == STEPS & bass - harmony == STEPS & @ - bass == STEPS, "the voices have different lengths"

; ==== the serial port: one line of text to whoever is there ====

say_hello:
    ld hl,hello
.next:
    ld a,[hl+]
    and a,a
    ret z
    ldh [rSB],a
    ld a,%10000001          ; send, with our clock
    ldh [rSC],a
.wait:
    ldh a,[rSC]
    bit 7,a
    jr nz,.wait
    jr .next

hello:
    db "TRACKLAYER\n", 0

; ==== memory ====

; BC bytes from HL to DE.
copy:
    ld a,[hl+]
    ld [de],a
    inc de
    dec bc
    ld a,b
    or a,c
    jr nz,copy
    ret

; BC zero bytes from HL on.
clear:
    xor a,a
    ld [hl+],a
    dec bc
    ld a,b
    or a,c
    jr nz,clear
    ret

; Numbers 128 to 187 are the title, 20 by 3; 188 and on the mountains, 16 by 4, twice.
draw_title_and_mountains:
    ld hl,MAP
    ld a,128
    ld c,3
.title_row:
    ld b,20
.title:
    ld [hl+],a
    inc a
    dec b
    jr nz,.title
    ld de,12
    add hl,de
    dec c
    jr nz,.title_row

    ld hl,MAP + 6 * 32
    ld c,4
.mountain_row:
    ld e,2
.half:
    ld b,16
.mountain:
    ld [hl+],a
    inc a
    dec b
    jr nz,.mountain
    dec e
    jr z,.both
    sub a,16
    jr .half
.both:
    dec c
    jr nz,.mountain_row
    ret

; to, how many, from
copies:
    dw OBJECT_TILES, object_tiles_end - object_tiles, object_tiles
    dw UPPER_TILES, upper_tiles_end - upper_tiles, upper_tiles
    dw LOWER_TILES + 16 * '0', letter_tiles - digit_tiles, digit_tiles
    dw LOWER_TILES + 16 * 'A', scenery_tiles - letter_tiles, letter_tiles
    dw LOWER_TILES + 16 * 'a', ground_tiles - scenery_tiles, scenery_tiles
    dw LOWER_TILES + 16 * '<', meadow_tile - ground_tiles, ground_tiles
    dw LOWER_TILES + 16 * '_', gauge_tiles - meadow_tile, meadow_tile
    dw LOWER_TILES + 16 * '[', point_tile - gauge_tiles, gauge_tiles
    dw MAP + 3 * 32, clouds_end - clouds, clouds
    dw MAP + 10 * 32, land_end - land, land
    dw WINDOW_MAP, 20, status_upper
    dw WINDOW_MAP + 32, 20, status_lower
    dw band_handler, band_handler_end - band_handler_source, band_handler_source
    dw dma, dma_end - dma_source, dma_source
    dw 0

clouds:
    db "  abcd              ij          "
    db "  efgh     ij             abcd  "
    db "         ij               efgh  "
clouds_end:
land:
    db "_k_ukmn_k__u_qrst__ukk_mn_kuqrst"
    db "_l_vlop_l__v_______vll_op_lv____"
    db "wwwxwwwwwywwwwxwwwwwwwwywwwzwwww"
    db "wywwwwwxwwwwwwwzwwwxwwwwwwwwwwxw"
    db "============<<<<<<><<<<<<<><<<<<"
    db "????@?????????@??????@????@?????"
land_end:
    assert clouds_end - clouds == 3 * 32 & land_end - land == 6 * 32, "a row of the map is not 32 tiles wide"
status_upper:
    db " TRACK LAID 000000 M"
status_lower:
    db "SPEED ]]]]]]]]   DAY"

    include "art.asm"

; ==== work RAM ====

    ram $C000
track_code:
    ds 256                  ; the code for VBlank

    ram $C200
objects:
    ds 160                  ; for the DMA
bands:
    ds BANDS * 3            ; of this frame: line, SCX, BGP; within one page
bands_ready:
    ds BANDS * 3            ; of the next

    ram $C300
scx_clouds:    ds 1         ; in the order of the bands
scx_mountains: ds 1
scx_hills:     ds 1
scx_ground:    ds 1
               ds 1         ; the window does not scroll
title_palette: ds 6         ; BGP: title, clouds, mountains, hills, ground, status
object_palettes: ds 2
position:      ds 3
speed:         ds 2
distance:      ds 3         ; metres, decimal, low digits first
throttle:      ds 1
keys:          ds 1
pressed:       ds 1
ticks:         ds 1
step:          ds 1
frames:        ds 1
hours:         ds 1
daytime:       ds 1
ready:         ds 1
emit_next:     ds 1
phase:         ds 1
last_half:     ds 1
whistling:     ds 1
noise:         ds 1
drift:         ds 1
drifted:       ds 1
attributes:    ds 1
puffs_at:      ds 1
wind:          ds 2         ; how fast smoke falls behind

    ram $C380
puffs:
    ds PUFFS * 4

    ram $CF00
stack_bottom:
    ds 256
stack_top:
